package zktest

import (
	"time"

	"barnabas/broker/env"
)

// Proxy forwards connections to a server, until it is cut.
type Proxy struct {
	e        env.Env
	listener env.Listener
	target   string
	mu       env.Mutex
	cut      bool
	conns    []env.Conn
}

// NewProxy listens at addr and forwards to target. It is up to the caller to close it.
func NewProxy(e env.Env, addr, target string) (*Proxy, error) {
	listener, err := e.Listen(addr)
	if err != nil {
		return nil, err
	}
	p := &Proxy{e: e, listener: listener, target: target, mu: e.NewMutex()}
	e.Go("proxy-accept", p.accept)
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr() }

// Cut breaks every connection and lets no new one through.
func (p *Proxy) Cut() {
	p.mu.Lock()
	p.cut = true
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// Mend lets connections through again.
func (p *Proxy) Mend() {
	p.mu.Lock()
	p.cut = false
	p.mu.Unlock()
}

// Close ends the proxy.
func (p *Proxy) Close() {
	p.listener.Close()
	p.Cut()
}

func (p *Proxy) accept() {
	for {
		front, err := p.listener.Accept()
		if err != nil {
			return
		}
		back, err := p.e.Dial(p.target, time.Second)
		if err != nil {
			front.Close()
			continue
		}
		p.mu.Lock()
		ok := !p.cut
		if ok {
			p.conns = append(p.conns, front, back)
		}
		p.mu.Unlock()
		if !ok {
			front.Close()
			back.Close()
			continue
		}
		p.e.Go("proxy-forward", func() { forward(back, front) })
		p.e.Go("proxy-forward", func() { forward(front, back) })
	}
}

func forward(to, from env.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			to.Close()
			from.Close()
			return
		}
	}
}
