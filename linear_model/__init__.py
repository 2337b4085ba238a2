"""The linear model: one experiment, four simulators that must agree."""

from linear_model.methods.algorithm2 import Algorithm2 as Algorithm2
from linear_model.methods.base import LinearMethod as LinearMethod
from linear_model.methods.ffa_least_squares import FFALeastSquares as FFALeastSquares
from linear_model.methods.local_steps import LocalSteps as LocalSteps
from linear_model.methods.registry import method_named as method_named
from linear_model.methods.registry import method_names as method_names
from linear_model.methods.registry import options_of as options_of
from linear_model.problem import Batches as Batches
from linear_model.problem import Data as Data
from linear_model.problem import Problem as Problem
from linear_model.problem import step_size as step_size
from linear_model.run import Run as Run
from linear_model.simulation import simulate as simulate
from linear_model.simulation import simulator_named as simulator_named
from linear_model.simulation import simulators as simulators
from linear_model.simulators.gram import GramSimulator as GramSimulator
from linear_model.spectra import shifted_covariances as shifted_covariances
from linear_model.spectra import singular_values as singular_values
