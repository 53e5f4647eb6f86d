// Package load is what a load test left behind, and how it is shown: the record of a run (Run, one JSON file), and from
// any number of them one HTML page that stands alone, Markdown, CSV, PNG, HDR percentile files (.hgrm) and an HDR interval
// log. It never measures and never judges: what makes a run void was decided where it ran, and is shown in words.
package load
