"""The forecasts of a peer's script (accuracy_floor.py) as a table, for bench/accuracy.ts to score beside ours.
usage: peer_forecasts.py FLOOR.py DIR_OF_CSVS OUT.csv LAST_TRAINING_DAY LAST_DAY

Runs the script as it is, on copies of the CSVs that hold no later day than LAST_DAY, and writes its ridge's and its
LSTM's log returns of every test window: symbol, minute (epoch, UTC) of the window's last bar, ridge, lstm. Which window is which the
script does not say; its order is that of its loops, gone through once more here and checked against its own prices."""
import csv, gzip, os, runpy, sys, tempfile
from datetime import datetime

floor, source, out, cut, last = sys.argv[1:]
WINDOW, AHEAD = 60, 5


def rows_of(path):
    with (gzip.open if path.endswith('.gz') else open)(path, 'rt') as file:
        yield from csv.reader(file)


def copy_days(source, target):
    for name in sorted(os.listdir(source)):
        if not name.endswith(('.csv', '.csv.gz')):
            continue
        rows = rows_of(os.path.join(source, name))
        header = next(rows)
        day = header.index('Datetime')
        with open(os.path.join(target, name.removesuffix('.gz')), 'w', newline='') as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(row for row in rows if row[day][:10] <= last)


def windows_of(folder, names):
    """Symbol, epoch minute and price of the last bar of each window, in the script's order."""
    for name in names:
        days = {}
        for row in csv.DictReader(open(os.path.join(folder, name))):
            if row['Close'] in ('', 'nan') or row['Volume'] in ('', 'nan'):
                continue
            minute = int(datetime.fromisoformat(row['Datetime']).timestamp()) // 60
            days.setdefault(row['Datetime'][:10], {})[minute] = float(row['Close'])
        for bars in days.values():
            minutes = sorted(bars)
            if len(minutes) <= WINDOW + AHEAD:
                continue
            for i in range(len(minutes) - WINDOW - AHEAD + 1):
                if minutes[i + WINDOW + AHEAD - 1] - minutes[i] == WINDOW + AHEAD - 1:
                    at = minutes[i + WINDOW - 1]
                    yield name.split('.csv')[0], at, bars[at]


with tempfile.TemporaryDirectory() as folder:
    copy_days(source, folder)
    os.environ['CUT'] = cut
    sys.argv = [floor, folder]
    found = runpy.run_path(floor)
    keys = list(windows_of(folder, found['names']))
test = found['te']
assert len(keys) == len(test) and all(price == p for (_, _, price), p in zip(keys, found['P'])), 'other windows'
ridge = found['A'][test] @ found['w']
with open(out, 'w') as file:
    file.write('symbol,minute,ridge,lstm\n')
    tested = (key for key, is_test in zip(keys, test) if is_test)
    for (symbol, minute, _), r, p in zip(tested, ridge, found['pr']):
        file.write(f'{symbol},{minute},{float(r) / 1e3!r},{float(p) / 1e3!r}\n')
