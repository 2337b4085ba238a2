"""A conformance suite for anybody's federated LoRA method: what goes wrong in public code, and the algebra.

`check_method(FedAvgLoRA())` runs every case over libraries, precisions, shapes and weights, and returns a
`Report`; `from_function` puts a bare `aggregate(state_dicts, weights)` to the same cases.
"""

from federated_lora.testing.flower import from_strategy as from_strategy
from federated_lora.testing.outside import from_function as from_function
from federated_lora.testing.report import Report as Report
from federated_lora.testing.report import Row as Row
from federated_lora.testing.report import Status as Status
from federated_lora.testing.settings import SETTINGS as SETTINGS
from federated_lora.testing.settings import Setting as Setting
from federated_lora.testing.subject import After as After
from federated_lora.testing.subject import OfMethod as OfMethod
from federated_lora.testing.subject import Subject as Subject
from federated_lora.testing.suite import CASES as CASES
from federated_lora.testing.suite import check_method as check_method
