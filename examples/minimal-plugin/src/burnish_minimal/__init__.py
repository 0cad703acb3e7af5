"""The smallest plugin of burnish: one stage, one engine, one reward and one preset."""
