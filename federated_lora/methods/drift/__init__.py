"""Rules whose clients correct their gradients for drift during local steps."""
