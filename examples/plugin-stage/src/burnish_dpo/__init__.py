"""Direct preference optimization as a stage of burnish: pairs, objective, loop and stage, a file each."""
