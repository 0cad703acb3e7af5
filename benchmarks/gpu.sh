#!/usr/bin/env bash
# All that a card has to show, within ten minutes: `benchmarks/gpu.sh [DIRECTORY]`, by default
# benchmarks/results/<name of the card>. Each part leaves its output there, and summary.txt a line per part.
#
#   PYTHON   an interpreter that has burnish and jax for the card (default: the one of `uv run`)
#   PEER     one that has torch and transformers for it, where the peer's environment cannot be made
#   PARTS    to run (default: all)
#   SIZE     of the models (default 0.5b); PAIRS, measurements of each system (default 1)
#
# Exit status: 0 when every part passed in its time.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

PYTHON=${PYTHON:-$(uv run python -c 'import sys; print(sys.executable)')} || exit 1
SIZE=${SIZE:-0.5b}
PAIRS=${PAIRS:-1}
PEER=${PEER:-}
PARTS=${PARTS:-default resume parity kernels W1 W2 W3}
CARD=$("$PYTHON" -c 'import jax; print(jax.devices()[0].device_kind.replace(" ", "-"))') || exit 1
RESULTS=${1:-benchmarks/results/$CARD}
RUNS=$(mktemp -d)
trap 'rm -rf "$RUNS"' EXIT
mkdir -p "$RESULTS"
FAILED=0

TRAIN='from burnish.platform.command import train; train()'

part() { # part NAME SECONDS COMMAND...
  local name=$1 limit=$2 started=$SECONDS status
  shift 2
  case " $PARTS " in *" $name "*) ;; *) return ;; esac
  timeout "$limit" "$@" >"$RESULTS/$name.txt" 2>&1
  status=$?
  [ $status -eq 0 ] || FAILED=1
  printf '%-10s %-12s %4d s\n' "$name" "$([ $status -eq 0 ] && echo passed || echo "status $status")" \
    $((SECONDS - started)) | tee -a "$RESULTS/summary.txt"
}

default_run() {
  "$PYTHON" -c "$TRAIN" run.output_dir="$RUNS" run.name=default &&
    cp "$RUNS/default/summary.json" "$RUNS/default/metrics.jsonl" "$RESULTS"
}

# Killed once in each stage and started again, a run has to leave the bits of one that nobody killed.
resume() {
  local options=(jax.deterministic=true stages.sft.steps=20 stages.rl.steps=6 checkpoint.save_every_steps=2)
  local run=("$PYTHON" -c "$TRAIN" "${options[@]}" run.output_dir="$RUNS")
  "${run[@]}" run.name=whole || return 1
  for rows in 9 24; do
    "${run[@]}" run.name=killed checkpoint.resume_from=latest &
    until [ "$(cat "$RUNS/killed/metrics.jsonl" 2>/dev/null | wc -l)" -ge "$rows" ]; do
      kill -0 $! 2>/dev/null || return 1
      sleep 0.05
    done
    kill -9 $!
    wait $!
  done
  "${run[@]}" run.name=killed checkpoint.resume_from=latest || return 1
  for file in "$RUNS"/whole/stages/*/export/*; do
    cmp "$file" "${file/whole/killed}" || return 1
  done
  echo "equal bit by bit: $(ls "$RUNS"/whole/stages/*/export/* | wc -l) files"
}

parity() { # golden logits of transformers, every family; kernels on the device
  "$PYTHON" -m pytest -q packages/llm/tests/test_families.py packages/llm/tests/test_kernels.py -k 'recorded or auto'
}

kernels() {
  for dtype in bfloat16 float32; do
    "$PYTHON" benchmarks/attention.py --dtype $dtype --kernels xla chunked cudnn --lengths 512 2048 8192
  done
}

workload() {
  "$PYTHON" benchmarks/run.py "$1" --size "$SIZE" --pairs "$PAIRS" --peers hf ${PEER:+--peer-python "$PEER"} \
    --json "$RESULTS/$1-$SIZE.json"
}

export -f default_run resume parity kernels workload
export PYTHON SIZE PAIRS PEER RESULTS RUNS TRAIN
: >"$RESULTS/summary.txt"
"$PYTHON" -c 'import jax; print(jax.__version__, jax.devices())' | tee -a "$RESULTS/summary.txt"
part default 80 bash -c default_run
part resume 120 bash -c resume
part parity 70 bash -c parity
part kernels 40 bash -c kernels
part W1 90 bash -c 'workload W1'
part W2 90 bash -c 'workload W2'
part W3 90 bash -c 'workload W3'
exit $FAILED
