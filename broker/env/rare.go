package env

// Rare is a point in the code where something that is allowed, and hardly ever happens, may be made to happen: a segment
// rolls early, an answer is late, a checkpoint is left out. Whatever it does must be right at any time. In the real world
// it never strikes; in the simulated one each seed draws which of them do, and how often.
//
//	var rareRoll = env.NewRare("segment-rolls-early")
//	…
//	if full || rareRoll.Strikes(l.env) { … }
type Rare struct {
	Name string // the package's and its own: "log/segment-rolls-early"
	mark *Mark
}

// Luck is what decides in a world where rare things happen. An Env may have it.
type Luck interface {
	// Rare tells whether the point of that name strikes now.
	Rare(name string) bool
}

// NewRare makes a point, as a package variable. It is a mark besides, hit when it strikes.
func NewRare(name string) *Rare {
	r := &Rare{Name: callerPackage() + "/" + name}
	r.mark = &Mark{name: callerPackage() + "/rare " + name}
	marks = append(marks, r.mark)
	return r
}

// Strikes asks the Env's luck; an Env without any never strikes.
func (r *Rare) Strikes(e any) bool {
	l, ok := e.(Luck)
	if !ok || !l.Rare(r.Name) {
		return false
	}
	r.mark.Hit()
	return true
}
