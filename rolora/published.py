"""The paper's published numbers, as the front desk sees them; they live with the language models."""

from llm_validation.paper.published import AVERAGE as AVERAGE
from llm_validation.paper.published import METHODS as METHODS
from llm_validation.paper.published import PublishedNumber as PublishedNumber
from llm_validation.paper.published import cells as cells
from llm_validation.paper.published import nearest as nearest
from llm_validation.paper.published import tables as tables
