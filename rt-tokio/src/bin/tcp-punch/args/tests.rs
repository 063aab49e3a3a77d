use clap::CommandFactory as _;

use super::*;

const ID: &str = "aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaq";

fn parse(line: &str) -> Result<Command, clap::error::ErrorKind> {
    let line = line
        .replace("SERVER", &format!("host:1/{ID}"))
        .replace("ID", ID);
    Args::try_parse_from(line.split_whitespace())
        .map(|args| args.command)
        .map_err(|error| error.kind())
}

#[test]
fn the_definition_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn what_scripts_rely_on() {
    for line in [
        "tcp-punch keygen --out FILE",
        "tcp-punch id --key FILE",
        "tcp-punch serve --key FILE --main 0.0.0.0:1 --assist 0.0.0.0:2=1.2.3.4:2",
        "tcp-punch serve --key F --main 0.0.0.0:1 --main [::]:1 --assist 0.0.0.0:2 --assist 0.0.0.0:3 --token T",
        "tcp-punch listen --server SERVER --key FILE --allow ID",
        "tcp-punch listen --server SERVER --key FILE --allow ID --allow ID --consent open --once",
        "tcp-punch listen --server SERVER --key FILE --allow ID ID --json --forward localhost:22",
        "tcp-punch listen --server SERVER --key FILE --allow-any --consent ask --token T --secret-file S",
        "tcp-punch connect --server SERVER --key FILE ID",
        "tcp-punch connect --server SERVER --key FILE ID --forward 127.0.0.1:0 --timeout 3",
        "tcp-punch connect --server SERVER --key FILE --stream bare --strategy simultaneous-open ID --json",
        "tcp-punch connect --server SERVER --key FILE --strategy dial --strategy low-ttl ID --explain",
        "tcp-punch connect --server SERVER --key FILE ID --birthday --raw --hops 3 --outer-address 100.64.0.9",
        "tcp-punch listen --server SERVER --key FILE --allow ID --birthday --explain",
        "tcp-punch serve --key FILE --main 0.0.0.0:1 --assist 0.0.0.0:2 --spoof",
        "tcp-punch demo --json",
    ] {
        assert!(parse(line).is_ok(), "{line}: {:?}", parse(line));
    }
}

#[test]
fn what_is_no_usage() {
    use clap::error::ErrorKind::{
        ArgumentConflict, InvalidValue, MissingRequiredArgument, ValueValidation,
    };
    for (line, kind) in [
        (
            "tcp-punch listen --server SERVER --key FILE",
            MissingRequiredArgument,
        ),
        (
            "tcp-punch listen --server SERVER --key FILE --allow ID --allow-any",
            ArgumentConflict,
        ),
        (
            "tcp-punch listen --server SERVER --key FILE --allow-any --consent maybe",
            InvalidValue,
        ),
        (
            "tcp-punch listen --server SERVER --key FILE --allow-any --forward 22",
            ValueValidation,
        ),
        (
            "tcp-punch listen --server host:1 --key FILE --allow-any",
            ValueValidation,
        ),
        (
            "tcp-punch connect --server SERVER --key FILE",
            MissingRequiredArgument,
        ),
        (
            "tcp-punch connect --server SERVER --key FILE nobody",
            ValueValidation,
        ),
        (
            "tcp-punch connect --server SERVER --key FILE ID --timeout 0",
            ValueValidation,
        ),
        (
            "tcp-punch connect --server SERVER --key FILE ID --strategy luck",
            ValueValidation,
        ),
        (
            "tcp-punch connect --server SERVER --key FILE ID --hops 33",
            ValueValidation,
        ),
        (
            "tcp-punch serve --key FILE --main 0.0.0.0:1",
            MissingRequiredArgument,
        ),
    ] {
        assert_eq!(parse(line).unwrap_err(), kind, "{line}");
    }
}

#[test]
fn every_command_has_an_example() {
    for command in Args::command().get_subcommands() {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            help.contains("Example") && help.contains("$ "),
            "{}",
            command.get_name()
        );
    }
}
