"""The methods the linear model can run, one a file."""
