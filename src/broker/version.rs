//! Which RabbitMQ this is, for what only some can do.

/// `server` is product and version; what stands behind the numbers, as in `4.3.1-rc.2` or `4.3.1+7`, does not count.
pub(super) fn is_rabbitmq_from(server: &str, first: (u32, u32, u32)) -> bool {
    let Some(version) = server.strip_prefix("RabbitMQ ") else { return false };
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
    let mut numbers = version.split('.').map(|part| digits(part).parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next()) >= first
}

#[cfg(test)]
mod tests {
    use super::is_rabbitmq_from;

    #[test]
    fn a_version_is_compared_number_by_number() {
        let check = |server: &str, expected| assert_eq!(is_rabbitmq_from(server, (4, 3, 1)), expected, "{server}");
        for newer in ["RabbitMQ 4.3.1", "RabbitMQ 4.3.10", "RabbitMQ 4.10.0", "RabbitMQ 5.0", "RabbitMQ 4.3.1-rc.2"] {
            check(newer, true);
        }
        for older in ["RabbitMQ 4.3.0", "RabbitMQ 4.2.9", "RabbitMQ 3.10.8", "RabbitMQ 4", "RabbitMQ ", "memory broker 9.9.9"] {
            check(older, false);
        }
    }
}
