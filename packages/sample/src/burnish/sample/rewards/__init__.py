"""What a completion is worth: the protocol of a reward, the rewards that come along, and scoring."""
