//! Integration tests of `record`. Those in `live` record this node; they need root and eBPF.

mod cli;
mod live {
    mod bpf;
    mod filters;
    mod record;
}
