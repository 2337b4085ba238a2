"""The paper's figures: one a file, each from a tidy table written beside it; and what one is made with."""

from rolora.plotting import look as look
from rolora.plotting.figure import Drawing as Drawing
from rolora.plotting.figure import figure as figure
from rolora.plotting.figure import table_of as table_of
from rolora.plotting.tidy import by_round as by_round
from rolora.plotting.tidy import distinct as distinct
from rolora.plotting.tidy import mean as mean
from rolora.plotting.tidy import select as select
from rolora.report.numbers import number as number
from verification.budget import Budget as Budget
from verification.finding import Table as Table
