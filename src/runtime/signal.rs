//! An interrupt ends a run between two events, with everything committed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that is set when the process is asked to end (SIGINT, SIGTERM). A second signal ends the process at once.
///
/// # Errors
/// Where signals cannot be listened to.
pub fn stop_on_signal() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("signals".to_string()).spawn(move || runtime.block_on(watch(&flag)))?;
    Ok(stop)
}

/// The number of this signal on the systems that have it in common.
#[cfg(unix)]
const SIGXFSZ: i32 = 25;

#[cfg(unix)]
async fn watch(stop: &AtomicBool) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    // A write beyond the bound on file sizes is then an error that is told, and does not end the process.
    let _beyond_bound = signal(SignalKind::from_raw(SIGXFSZ));
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if stop.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    }
}

#[cfg(not(unix))]
async fn watch(stop: &AtomicBool) {
    while tokio::signal::ctrl_c().await.is_ok() {
        if stop.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    }
}
