// Package reports turns what a run found into what people and CI read: the card on the terminal, the record on disk
// (run.json), JUnit XML, and one HTML page that stands alone. It never judges: a Run comes to it with its verdict.
package reports
