# Headless Chromium, and applications written for a load balancer.
cargo_tests -p e2e --test it -- browser:: alb:: console::
