package jute

// ConnectRequest opens a session, or re-attaches to one. It is the first frame of a connection and has no header.
type ConnectRequest struct {
	ProtocolVersion int32
	LastZxidSeen    int64 // a server that has seen less must not serve this client
	TimeoutMs       int32 // wanted
	SessionID       int64 // 0 for a new session
	Password        []byte
	ReadOnly        bool // the client would take a read-only server
	NoReadOnly      bool // the frame ends before ReadOnly: a client older than 3.4, and go-zookeeper
}

// ConnectResponse answers a ConnectRequest. TimeoutMs 0 says that the session has expired.
type ConnectResponse struct {
	ProtocolVersion int32
	TimeoutMs       int32 // negotiated
	SessionID       int64
	Password        []byte // 16 bytes
	ReadOnly        bool   // the server is read-only
	NoReadOnly      bool   // leaves the byte out, as the client did
}

// PasswordLen is the length of a session's password in bytes.
const PasswordLen = 16

// Append appends the request as a frame.
func (r *ConnectRequest) Append(dst []byte) []byte {
	e := Encoder{dst}
	start := e.begin()
	e.Int(r.ProtocolVersion)
	e.Long(r.LastZxidSeen)
	e.Int(r.TimeoutMs)
	e.Long(r.SessionID)
	e.Buffer(r.Password)
	if !r.NoReadOnly {
		e.Bool(r.ReadOnly)
	}
	e.end(start)
	return e.Buf
}

// ParseConnectRequest reads a frame's content. The password is a slice of it.
func ParseConnectRequest(frame []byte) (ConnectRequest, error) {
	d := NewDecoder(frame)
	r := ConnectRequest{
		ProtocolVersion: d.Int(), LastZxidSeen: d.Long(), TimeoutMs: d.Int(), SessionID: d.Long(), Password: d.Buffer(),
	}
	if r.NoReadOnly = d.Len() == 0; !r.NoReadOnly {
		r.ReadOnly = d.Bool()
	}
	return r, d.Err()
}

// Append appends the response as a frame.
func (r *ConnectResponse) Append(dst []byte) []byte {
	e := Encoder{dst}
	start := e.begin()
	e.Int(r.ProtocolVersion)
	e.Int(r.TimeoutMs)
	e.Long(r.SessionID)
	e.Buffer(r.Password)
	if !r.NoReadOnly {
		e.Bool(r.ReadOnly)
	}
	e.end(start)
	return e.Buf
}

// ParseConnectResponse reads a frame's content. The password is a slice of it.
func ParseConnectResponse(frame []byte) (ConnectResponse, error) {
	d := NewDecoder(frame)
	r := ConnectResponse{ProtocolVersion: d.Int(), TimeoutMs: d.Int(), SessionID: d.Long(), Password: d.Buffer()}
	if r.NoReadOnly = d.Len() == 0; !r.NoReadOnly {
		r.ReadOnly = d.Bool()
	}
	return r, d.Err()
}
