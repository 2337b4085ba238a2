"""Federated LoRA on language models: transformers and PEFT supply models, `federated_lora` the rules.

Importing this package, its configuration, presets and claims needs neither torch nor transformers.
"""
