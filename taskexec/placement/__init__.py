"""What workers have, and whether tasks fit."""
