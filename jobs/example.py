# A small backup that works as it is. In the folder that holds "jobs" and "backalaika", run:
#
#     backalaika backup jobs/example.py
#
# It saves these two folders into a new folder inside "backups" in your home directory.
#
# To make your own job, copy this file (to "office.py", say) and change what stands after "job =". Good to know:
#
#   - A line that begins with # is a comment. It is for you; the program does not read it.
#   - Text stands between quotation marks. Keep both marks, the commas and the brackets as they are.
#   - Only you may be able to change the file, for it is a program. If Backalaika says that others can write it, it also
#     says how to mend that.
#   - When you make a mistake, nothing is started. You are told the line or the word, and what to write instead.

# The next two lines find out where this file is, so that the example works anywhere. Your own job does not need them:
# you know where your files are.
import os

CHECKOUT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))

job = dict(
    # The name becomes part of the name of the backup's folder: 2026-11-22_0915-example
    name="example",
    # What to save: one line for each folder, with everything inside it. First the folder, then how to save it:
    #   zip   opens everywhere with a double click
    #   bz2   takes less space; it is what you get if you name none. gz, zst and xz are other ways
    #   separate_dirs   each folder inside becomes a file of its own: "zip,separate_dirs"
    #
    # In your own job such a line looks like this (~ is your home directory):
    #
    #     ("~/Documents", "zip"),
    sources=[
        (os.path.join(CHECKOUT, "backalaika"), "zip"),
        (os.path.join(CHECKOUT, "jobs"), "bz2"),
    ],
)

# Settings, if you want other ones than the usual; all of them are shown in nandos_work.py. This one leaves out a
# folder that Python makes for itself. To change a setting for all your jobs, write it into the file ".backalaika" in
# your home directory in the same way.
config = dict(
    skip_files="__pycache__",
)
