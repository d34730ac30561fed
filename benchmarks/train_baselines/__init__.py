"""The learned baselines, retrained at low rates on the data that our codec is trained on."""
