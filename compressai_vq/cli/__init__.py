"""The command line: one module a command.

What takes long to import is imported by the functions that use it.  Usage, what is wrong with the
arguments, and what a ``.cvq`` file says of itself need neither torch nor CompressAI.
"""
