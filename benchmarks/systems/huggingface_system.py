"""Hugging Face transformers on torch: a plain training loop and `generate` with its dynamic cache."""

import os
from collections.abc import Callable

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")

import torch
import transformers
from measurement import Measurement, main, peak_process_bytes, time_calls, warm_up
from workloads import Generation, Model, Training, Workload

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MAX_GRAD_NORM = 1.0


def measure(model: Model, workload: Workload) -> Measurement:
    """Return what this process sees of the workload; nothing is compiled."""
    call = _training(model, workload) if isinstance(workload, Training) else _generation(model, workload)
    warm_up(call, workload)
    timing = time_calls(call, workload)
    is_cuda = DEVICE.type == "cuda"
    return Measurement(
        timing=timing,
        compile_seconds=0.0,
        compiles=0,
        compiles_while_timed=0,
        peak_bytes=torch.cuda.max_memory_allocated() if is_cuda else peak_process_bytes(),
        device=torch.cuda.get_device_name() if is_cuda else "cpu",
        versions={"torch": torch.__version__, "transformers": transformers.__version__},
    )


def _training(model: Model, workload: Training) -> Callable[[int], None]:
    module = _module(model).train()
    if workload.remat:
        module.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-5, weight_decay=0.0, fused=True)
    batches = [_padded(model, workload, index) for index in range(workload.num_calls)]

    def step(index: int) -> None:
        batch = {name: array.to(DEVICE) for name, array in batches[index].items()}
        loss = module(**batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        optimizer.zero_grad()
        _wait()

    return step


def _padded(model: Model, workload: Training, index: int) -> dict[str, torch.Tensor]:
    """Return the texts of a step, padded to the longest; full rows go without a mask."""
    lengths = torch.tensor(workload.lengths(index))
    tokens = _tokens(model, (workload.rows, int(lengths.max())), index)
    is_text = torch.arange(tokens.shape[1])[None] < lengths[:, None]
    batch = {"input_ids": tokens, "labels": tokens.masked_fill(~is_text, -100)}
    return batch if is_text.all() else {**batch, "attention_mask": is_text.long()}


def _generation(model: Model, workload: Generation) -> Callable[[int], None]:
    module = _module(model).eval()
    module.generation_config.eos_token_id = None
    shape = (workload.num_prompts, workload.prompt_tokens)

    def generate(index: int) -> None:
        prompts = _tokens(model, shape, index).repeat_interleave(workload.samples_per_prompt, dim=0)
        sequences = module.generate(
            prompts.to(DEVICE),
            attention_mask=torch.ones_like(prompts).to(DEVICE),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=workload.new_tokens,
            pad_token_id=0,
        )
        _wait()
        assert sequences.shape == (workload.num_sequences, workload.prompt_tokens + workload.new_tokens)

    return generate


def _module(model: Model) -> torch.nn.Module:
    torch.manual_seed(0)
    config = transformers.Qwen2Config(**model.hf_config)
    return transformers.Qwen2ForCausalLM(config).to(DEVICE, getattr(torch, model.dtype))


def _tokens(model: Model, shape: tuple[int, int], index: int) -> torch.Tensor:
    return torch.randint(model.vocab_size, shape, generator=torch.Generator().manual_seed(index))


def _wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main(measure)
