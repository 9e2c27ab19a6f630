"""calls-doctor: tells whether Mattermost Calls will work on a network, and if not, who must change what."""

__version__ = "0.1.0"
