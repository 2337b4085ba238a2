"""The claims about the linear model whose evidence is a simulation, by the chapters of the theory."""
