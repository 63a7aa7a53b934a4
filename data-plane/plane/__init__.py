"""What `data-plane/deploy` and `data-plane/tear-down` are made of."""
