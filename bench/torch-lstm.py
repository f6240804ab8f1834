"""The standard model in PyTorch as a peer of `barcast bench` (see peer.ts): python3 bench/torch-lstm.py DEVICE BATCHES WINDOWS

On `cuda` its LSTM is cuDNN's, in float32 without TF32 as ours is; every step ends with a wait for the device, since a
training of ours reads each step's loss. DEVICE is cpu or cuda, BATCHES as in 1024,8192, WINDOWS those of an inference.
"""

import json
import sys
import time

import torch

device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
batches = [int(size) for size in (sys.argv[2] if len(sys.argv) > 2 else "32,256,1024").split(",")]
windows = int(sys.argv[3]) if len(sys.argv) > 3 else 500
SECONDS = 3.0
STEPS, FEATURES, UNITS = 60, 2, 50

torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False


class Standard(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(FEATURES, UNITS, batch_first=True)
        self.dropout = torch.nn.Dropout(0.2)
        self.hidden = torch.nn.Linear(UNITS, 32)
        self.output = torch.nn.Linear(32, 1)

    def forward(self, x):
        states, _ = self.lstm(x)
        return self.output(torch.relu(self.hidden(self.dropout(states[:, -1]))))


def wait():
    if device == "cuda":
        torch.cuda.synchronize()


def timed(work):
    """Seconds of each run, after three that do not count."""
    for _ in range(3):
        work()
    wait()
    runs, began = [], time.perf_counter()
    while time.perf_counter() - began < SECONDS or len(runs) < 3:
        before = time.perf_counter()
        work()
        wait()
        runs.append(time.perf_counter() - before)
    return sorted(runs)


model = Standard().to(device)
adam = torch.optim.Adam(model.parameters(), 1e-3)
name = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
answer = {"peer": f"PyTorch {torch.__version__}, {name}"}
for batch in batches:
    x, y = torch.rand(batch, STEPS, FEATURES, device=device), torch.rand(batch, 1, device=device)

    def step():
        adam.zero_grad()
        torch.nn.functional.mse_loss(model(x), y).backward()
        adam.step()

    runs = timed(step)
    answer[f"train_seq_per_s_b{batch}"] = round(batch / runs[len(runs) // 2])
model.eval()
x = torch.rand(windows, STEPS, FEATURES, device=device)
with torch.no_grad():
    runs = timed(lambda: model(x).cpu())
answer[f"infer{windows}_ms_p50"] = round(1e3 * runs[len(runs) // 2], 3)
print(json.dumps(answer))
