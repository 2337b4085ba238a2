"""A federation across machines: the clients of a round, asked and answered as Flower messages.

The server's arithmetic stays where it is; here is only who hosts which client (`hosts`), what goes to and
fro (`channel`, `records`), and how a client's machine answers (`client`). It knows no model: a laboratory
gives named arrays and takes named arrays.
"""
