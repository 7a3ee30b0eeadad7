//! Reading captures: bundles, pcapng, pcap; plain, gzip or zstd; files and streams.
