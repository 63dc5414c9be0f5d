"""
The law of the fold on a real server: fold_property.c plays random sequences one by one and folded, and wants equal
tables and equal dead letters.
"""
import os, subprocess

from support import PASSWORD, build_program, limit

PROGRAM = build_program("fold_property", "fold_model")
COUNT = os.environ.get("SEQUENCES") or ("200" if os.environ.get("VARIANT") == "asan" else "1500")


@limit(180)
def test_a_folded_batch_leaves_what_its_entries_one_by_one_leave(t):
    done = subprocess.run([PROGRAM, f"127.0.0.1:{t.mysql.port}", "app", PASSWORD, "1", COUNT], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
