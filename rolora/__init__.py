"""The front desk: the command `rolora`, its runner, its reports and its figures."""
