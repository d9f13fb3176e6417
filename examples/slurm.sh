#!/bin/bash
# A training over four machines of eight GPUs: sbatch examples/slurm.sh
# One torchrun a machine; after a loss all ranks go on from the newest checkpoint, and a requeued job does, too.
#SBATCH --job-name=ganvas
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --requeue
#SBATCH --signal=TERM@120
set -euo pipefail

# Data, run and environment must lie on a disk that all machines share.
DATA=${DATA:-/shared/photographs}
RUN=${RUN:-/shared/runs/esrgan}
PORT=29400

HEAD=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# torch 2.13 would not tell a machine that comes back where the ranks meet.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
export HEAD PORT DATA RUN

# Each machine runs its own torchrun, which starts eight ranks; the first machine is where they meet.
srun --kill-on-bad-exit=0 bash -c '
  torchrun --nnodes="$SLURM_NNODES" --nproc-per-node=8 --max-restarts=10 \
    --rdzv-backend=c10d --rdzv-endpoint="$HEAD:$PORT" --rdzv-id="$SLURM_JOB_ID" \
    --rdzv-conf="is_host=$([ "$SLURM_NODEID" = 0 ] && echo true || echo false)" \
    -m ganvas train esrgan --preset paper --data "$DATA" --out "$RUN" --batch-size 64
'
