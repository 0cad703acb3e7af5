"""A causal language model as configuration, parameters and pure functions, and the step that trains it."""

from typing import TYPE_CHECKING

from burnish.platform.lazy import lazy_names

if TYPE_CHECKING:
    from burnish.llm.batch import TokenBatch, make_batch
    from burnish.llm.bundle import Bundle, ModelContext
    from burnish.llm.config.model import Pretrained, Tiny
    from burnish.llm.config.tokenizer import AutoTokenizer
    from burnish.llm.config.training import JaxTraining
    from burnish.llm.export import ExportContext
    from burnish.llm.families.protocol import FamilyContext
    from burnish.llm.logprobs import linear_logprobs
    from burnish.llm.objective import ObjectiveContext
    from burnish.llm.optimizer import OptimizerContext
    from burnish.llm.policy import Policy
    from burnish.llm.sequence import Part, Sample, make_sample
    from burnish.llm.tokenizer import TokenizerContext
    from burnish.llm.training import TrainingContext
    from burnish.llm.versioned_weights import Weights

__all__ = [
    "AutoTokenizer",
    "Bundle",
    "ExportContext",
    "FamilyContext",
    "JaxTraining",
    "ModelContext",
    "ObjectiveContext",
    "OptimizerContext",
    "Part",
    "Policy",
    "Pretrained",
    "Sample",
    "Tiny",
    "TokenBatch",
    "TokenizerContext",
    "TrainingContext",
    "Weights",
    "linear_logprobs",
    "make_batch",
    "make_sample",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "AutoTokenizer": "config.tokenizer",
            "Bundle": "bundle",
            "ExportContext": "export",
            "FamilyContext": "families.protocol",
            "JaxTraining": "config.training",
            "ModelContext": "bundle",
            "ObjectiveContext": "objective",
            "OptimizerContext": "optimizer",
            "Part": "sequence",
            "Policy": "policy",
            "Pretrained": "config.model",
            "Sample": "sequence",
            "Tiny": "config.model",
            "TokenBatch": "batch",
            "TokenizerContext": "tokenizer",
            "TrainingContext": "training",
            "Weights": "versioned_weights",
            "linear_logprobs": "logprobs",
            "make_batch": "batch",
            "make_sample": "sequence",
        },
    )
