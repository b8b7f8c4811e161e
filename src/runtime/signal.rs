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
    // Listening begins here and not in the thread: from the return on, no signal ends the process.
    let watch = {
        let _inside = runtime.enter();
        watch(flag)?
    };
    std::thread::Builder::new().name("signals".to_string()).spawn(move || runtime.block_on(watch))?;
    Ok(stop)
}

/// The number of this signal on the systems that have it in common.
#[cfg(unix)]
const SIGXFSZ: i32 = 25;

#[cfg(unix)]
fn watch(stop: Arc<AtomicBool>) -> io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // A write beyond the bound on file sizes is then an error that is told, and does not end the process.
    let beyond_bound = signal(SignalKind::from_raw(SIGXFSZ))?;
    Ok(async move {
        let _beyond_bound = beyond_bound;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stop.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        }
    })
}

#[cfg(not(unix))]
fn watch(stop: Arc<AtomicBool>) -> io::Result<impl Future<Output = ()> + Send> {
    Ok(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if stop.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        }
    })
}
