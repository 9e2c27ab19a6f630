"""Any message of rtcd, by who sends it: for round trips, and for what the fuzz tests cut and change."""

from __future__ import annotations

from hypothesis import strategies as st

from calls_doctor.wire import rtcd, rtcd_channel, rtcd_signal
from calls_doctor.wire.rtcd_signal import IceCandidate, ScreenOn, Sender, SessionDescription, Signal, VideoOn

IDS = st.text(min_size=1, max_size=40)
DESCRIPTIONS = st.builds(SessionDescription, st.sampled_from(("offer", "answer")), st.text())
_CANDIDATES = st.builds(
    IceCandidate, st.text(), st.none() | st.text(), st.none() | st.integers(0, 0xFFFF), st.none() | st.text()
)
_WITH_FIELDS: dict[type[Signal], st.SearchStrategy[Signal]] = {
    IceCandidate: _CANDIDATES,
    SessionDescription: DESCRIPTIONS,
    ScreenOn: st.builds(ScreenOn, st.text()),
    VideoOn: st.builds(VideoOn, st.text()),
}


def _signals(sender: Sender) -> st.SearchStrategy[Signal]:
    rows = [row for row in rtcd_signal.TABLE if sender in row.senders]
    return st.one_of([_WITH_FIELDS.get(row.signal, st.builds(row.signal)) for row in rows])


FRAMES: dict[Sender, st.SearchStrategy[rtcd.Message]] = {
    Sender.CLIENT: st.one_of(
        st.builds(rtcd.Join, IDS, IDS, IDS, st.text(), st.booleans(), st.booleans()),
        st.builds(rtcd.Leave, IDS),
        st.builds(rtcd.Reconnect, IDS),
        st.builds(rtcd.Rtc, IDS, _signals(Sender.CLIENT)),
    ),
    Sender.SERVER: st.one_of(
        st.builds(rtcd.Hello, st.text(), IDS),
        st.builds(rtcd.Close, IDS),
        st.builds(rtcd.Rtc, IDS, _signals(Sender.SERVER), IDS, IDS, IDS),
    ),
}
"""Of the WebSocket."""
_NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
_TRACKS = st.builds(rtcd_channel.MediaTrack, st.text(max_size=4), st.text(max_size=12), IDS)
CHANNEL: dict[Sender, st.SearchStrategy[rtcd_channel.Message]] = {
    Sender.CLIENT: st.one_of(
        st.builds(rtcd_channel.Ping),
        st.builds(rtcd_channel.TextPing),
        DESCRIPTIONS,
        st.builds(rtcd_channel.LossRate, _NUMBERS),
        st.builds(rtcd_channel.RoundTripTime, _NUMBERS),
        st.builds(rtcd_channel.Jitter, _NUMBERS),
        st.builds(rtcd_channel.Lock),
        st.builds(rtcd_channel.Unlock),
    ),
    Sender.SERVER: st.one_of(
        st.builds(rtcd_channel.Pong),
        st.builds(rtcd_channel.TextPong),
        DESCRIPTIONS,
        st.builds(rtcd_channel.LockReply, st.booleans()),
        st.lists(_TRACKS, max_size=5, unique_by=lambda track: track.mid).map(
            lambda tracks: rtcd_channel.MediaMap(tuple(tracks))
        ),
    ),
}
"""Of the data channel."""
