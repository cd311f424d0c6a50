//! One event for each of many targets, where one that is full is no other's concern.
//!
//! What has no room in its queue is a dead letter at once, as long as there is room for those, and can be
//! redriven; else it is left out, and the answer says so. Knows nothing of topics.

use domain::event::{Condition, EventState};

use super::{Depth, Depths, Effect, Rows, Tally, check_new, row};
use crate::queue::operation::{Done, NewEvent, Published};
use crate::queue::{Failure, QueueError, Quota};

/// The status of what is refused for want of room.
const TOO_MANY: u16 = 429;

pub(super) fn publish(
    rows: &impl Rows,
    tally: &Tally<'_>,
    quota: Quota,
    events: &[NewEvent],
    now_us: i64,
) -> Result<(Vec<Effect>, Done), QueueError> {
    check_new(rows, events.iter().map(|new| new.id))?;
    // As the events before it leave them: two may be for one queue.
    let mut depths = Depths::new();
    let mut effects = Vec::with_capacity(events.len());
    let mut published = Vec::with_capacity(events.len());
    for new in events {
        let queue = new.target.queue();
        let before = depths.get(&queue).copied();
        let depth = before.unwrap_or_else(|| tally.depth(&queue));
        let mut event = row(new, now_us);
        let (became, after) = place(depth, quota, event.bytes);
        if became == Published::Dead {
            event.state = EventState::Dead;
            event.condition = Some(Condition::QueueFull);
            let full = QueueError::Quota {
                queue: queue.clone(),
                quota,
            };
            event.failure = Some(Failure::new(TOO_MANY, None, full.to_string()));
        }
        if became != Published::Refused {
            effects.push(Effect::Insert(Box::new(event), new.payload.clone()));
        }
        depths.insert(queue, after);
        published.push(became);
    }
    Ok((effects, Done::Published(published)))
}

/// Where there is room for one more event of so many bytes, and what the queue holds then.
fn place(depth: Depth, quota: Quota, bytes: u64) -> (Published, Depth) {
    let waiting = depth.with(bytes);
    let kept = Depth {
        kept_events: depth.kept_events + 1,
        kept_bytes: depth.kept_bytes + bytes,
        ..depth
    };
    let is_over = kept.kept_events > quota.events || kept.kept_bytes > quota.bytes;
    let has_room = !is_over && !kept.is_beyond_twice(quota);
    if !waiting.is_over(quota) && !depth.is_kept_full(quota) {
        (Published::Queued, waiting)
    } else if has_room {
        (Published::Dead, kept)
    } else {
        (Published::Refused, depth)
    }
}
