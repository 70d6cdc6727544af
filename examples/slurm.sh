#!/bin/bash
# Train on several machines with Slurm, and go on in the queue when the time is over:
#
#     sbatch examples/slurm.sh script.py
#
# The script trains with Distributed, Checkpoint and Preemption, and calls fit(resume="auto"); its
# folder of checkpoints is one that all machines see. Two minutes before the limit Slurm sends
# SIGUSR1 to the ranks. They save and exit with 128 + 10, the job is requeued, and the fit goes on.
# A job that was requeued MOST_RESTARTS times ends with its status.
#SBATCH --job-name=trackside
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append

# Slurm starts one process for each rank, without torchrun, so that each gets its signal.
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR
export MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000))
export WORLD_SIZE=$SLURM_NTASKS

# shellcheck disable=SC2016  # these variables are those of each process
srun bash -c 'RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID exec python "$@"' rank "$@"
status=$?

preempted=$([ "$status" -eq 138 ] || [ "$status" -eq 143 ] && echo yes) # SIGUSR1, SIGTERM: saved
if [ "$preempted" ] && [ "${SLURM_RESTART_COUNT:-0}" -ge "${MOST_RESTARTS:-100}" ]; then
    echo "requeued ${SLURM_RESTART_COUNT} times already: MOST_RESTARTS allows no more" >&2
elif [ "$preempted" ]; then
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$status"
