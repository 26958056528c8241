"""The arms: how each predicts, from control cells, a perturbation and what was retrieved."""
