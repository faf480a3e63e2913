"""The IPSec driver: judges packets and knows nothing of files, sockets or clocks."""
