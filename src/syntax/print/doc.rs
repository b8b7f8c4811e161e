//! Text with places where it may break. Knows widths only.

/// The width that lines should not pass.
pub(super) const LINE_COLUMNS_MAX: usize = 120;

/// A text that can be laid out on one line or on several.
#[derive(Debug, Clone)]
pub(super) enum Doc {
    /// As it is; holds no line break.
    Text(String),
    /// A space, or a line break where the group breaks.
    Line,
    /// A line break, always; its group breaks.
    Hard,
    /// Nothing, or the text where the group breaks: moves the first of several aligned operands.
    Broken(&'static str),
    /// Nothing, but its group breaks.
    Force,
    /// One after the other.
    Many(Vec<Doc>),
    /// Lines begin this much further in, or out.
    Nest(isize, Box<Doc>),
    /// Lines begin at the column where it starts.
    Align(Box<Doc>),
    /// On one line if it fits, else broken at each of its own lines.
    Group(Box<Doc>),
}

impl Doc {
    pub(super) fn text(text: impl Into<String>) -> Doc {
        Doc::Text(text.into())
    }

    pub(super) fn group(docs: Vec<Doc>) -> Doc {
        Doc::Group(Box::new(Doc::Many(docs)))
    }

    pub(super) fn align(doc: Doc) -> Doc {
        Doc::Align(Box::new(doc))
    }

    pub(super) fn nest(columns: isize, docs: Vec<Doc>) -> Doc {
        Doc::Nest(columns, Box::new(Doc::Many(docs)))
    }
}

#[derive(Clone, Copy)]
struct Task<'a> {
    indent: usize,
    flat: bool,
    doc: &'a Doc,
}

/// Lays the text out, beginning in `column`; later lines carry their own indent.
pub(super) fn render(doc: &Doc, column: usize) -> String {
    let mut out = String::new();
    let mut at = column;
    let mut stack = vec![Task { indent: column, flat: false, doc }];
    while let Some(Task { indent, flat, doc }) = stack.pop() {
        match doc {
            Doc::Text(text) => {
                at += text.chars().count();
                out.push_str(text);
            }
            Doc::Line if flat => {
                at += 1;
                out.push(' ');
            }
            Doc::Line | Doc::Hard => {
                out.truncate(out.trim_end_matches(' ').len());
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent));
                at = indent;
            }
            Doc::Broken(text) => {
                if !flat {
                    at += text.len();
                    out.push_str(text);
                }
            }
            Doc::Force => {}
            Doc::Many(docs) => stack.extend(docs.iter().rev().map(|doc| Task { indent, flat, doc })),
            Doc::Nest(by, doc) => stack.push(Task { indent: indent.saturating_add_signed(*by), flat, doc }),
            Doc::Align(doc) => stack.push(Task { indent: at, flat, doc }),
            Doc::Group(doc) => {
                let task = Task { indent, flat: true, doc };
                let flat = flat || fits(task, &stack, LINE_COLUMNS_MAX.saturating_sub(at));
                stack.push(Task { flat, ..task });
            }
        }
    }
    out
}

/// Whether `task`, laid out flat, and what follows up to the next possible break fit into `columns`.
fn fits(task: Task<'_>, rest: &[Task<'_>], columns: usize) -> bool {
    let mut left = columns;
    let mut inner = vec![task];
    let mut outer = rest.iter().rev();
    loop {
        let Some(Task { flat, doc, indent }) = inner.pop().or_else(|| outer.next().copied()) else { return true };
        match doc {
            Doc::Text(text) => match left.checked_sub(text.chars().take(left + 1).count()) {
                Some(n) => left = n,
                None => return false,
            },
            Doc::Line if flat => match left.checked_sub(1) {
                Some(n) => left = n,
                None => return false,
            },
            Doc::Line => return true,
            Doc::Hard | Doc::Force => return !flat,
            Doc::Broken(_) => {}
            Doc::Many(docs) => inner.extend(docs.iter().rev().map(|doc| Task { indent, flat, doc })),
            Doc::Nest(_, doc) | Doc::Align(doc) | Doc::Group(doc) => inner.push(Task { indent, flat, doc }),
        }
    }
}
