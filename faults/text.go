package faults

// Parse reads a schedule file. The name is for errors, which tell the line, what is wrong and what to do
// (*ParseError). Faults are sorted by their times; those of the same time keep their order.
func Parse(name string, data []byte) (File, error) { panic("unfinished") }

// String is the fault's one-line text form.
func (f Fault) String() string { panic("unfinished") }

// Format is the file's text; Parse reads it back to the same value if its schedule is in order.
func (f File) Format() []byte { panic("unfinished") }
