"""The claims about the linear model whose evidence is a simulation."""
