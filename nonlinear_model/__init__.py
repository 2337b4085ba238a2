"""The paper's two-layer network study, on MNIST and on scikit-learn's digits.

`Configuration` fixes a run, `dataset.load` reads the images, `experiment.run` runs it,
`sweep` runs every method on one grid. Importing this package imports no torch.
"""

from federation.learning_rates import Sweep as Sweep
from nonlinear_model.configuration import Configuration as Configuration
from nonlinear_model.data.dataset import Dataset as Dataset
from nonlinear_model.data.registry import load as load
from nonlinear_model.training.sweep import sweep as sweep
