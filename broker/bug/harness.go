//go:build !production

package bug

const compiled = true
