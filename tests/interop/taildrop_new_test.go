//go:build interop_new

package interop

import _ "tailscale.com/feature/taildrop" // a feature that tsnet leaves out; 1.80 has it built in
