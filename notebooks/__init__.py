"""Teaching notebooks: a `.py` source in jupytext's percent format beside each executed `.ipynb`."""
