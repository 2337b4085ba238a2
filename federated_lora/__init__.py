"""Federated LoRA methods as pure functions of the factors A and B, on numpy and torch."""

from federated_lora.adapter import BOTH as BOTH
from federated_lora.adapter import ONLY_A as ONLY_A
from federated_lora.adapter import ONLY_B as ONLY_B
from federated_lora.adapter import Adapter as Adapter
from federated_lora.adapter import ClientFactors as ClientFactors
from federated_lora.adapter import Factor as Factor
from federated_lora.adapter import Model as Model
from federated_lora.adapter import Shape as Shape
from federated_lora.diagnostics import aggregation_error as aggregation_error
from federated_lora.method import Aggregate as Aggregate
from federated_lora.method import Method as Method
from federated_lora.method import aggregate_model as aggregate_model
from federated_lora.method import average_factors as average_factors
from federated_lora.methods.fedavg_lora import FedAvgLoRA as FedAvgLoRA
from federated_lora.methods.ffa_lora import FFALoRA as FFALoRA
from federated_lora.methods.rolora import RoLoRA as RoLoRA
from federated_lora.registry import method_named as method_named
from federated_lora.registry import methods as methods
from federated_lora.traffic import Traffic as Traffic
from federated_lora.weights import client_weights as client_weights
from federated_lora.weights import weighted_mean as weighted_mean
